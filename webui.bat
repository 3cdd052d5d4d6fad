@echo off
rem Finds a Python, makes the virtual environment, then hands over to launch.py.
rem Settings belong into webui-user.bat; docs/launcher.md explains variables and exit codes.
setlocal EnableExtensions
cd /d "%~dp0"

if exist webui.settings.bat call webui.settings.bat

if not defined PYTHON set "PYTHON=python"
if not defined VENV_DIR set "VENV_DIR=%~dp0venv"
if defined GIT set "GIT_PYTHON_GIT_EXECUTABLE=%GIT%"
if not defined LAUNCH_SCRIPT set "LAUNCH_SCRIPT=launch.py"
set "SD_WEBUI_RESTART=tmp/restart"
set "ERROR_REPORTING=FALSE"
if not defined PYTHONUTF8 set "PYTHONUTF8=1"

if not exist launch.py goto :no_checkout

"%PYTHON%" -c "" >nul 2>nul
if errorlevel 1 goto :no_python

"%PYTHON%" -m pip --version >nul 2>nul
if errorlevel 1 if defined PIP_INSTALLER_LOCATION "%PYTHON%" "%PIP_INSTALLER_LOCATION%"

if "%VENV_DIR%"=="-" goto :start
if "%SKIP_VENV%"=="1" goto :start
if defined VIRTUAL_ENV goto :start

"%VENV_DIR%\Scripts\python.exe" -c "" >nul 2>nul
if not errorlevel 1 goto :enter

rem launch.py explains what is wrong with an unsupported Python.
"%PYTHON%" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))" >nul 2>nul
if not errorlevel 1 goto :make
echo %* %COMMANDLINE_ARGS% | findstr /c:"--skip-python-version-check" >nul
if errorlevel 1 (
    "%PYTHON%" launch.py
    exit /b 10
)

:make
"%PYTHON%" -m modules.launcher.venv "%VENV_DIR%"
if errorlevel 1 exit /b %ERRORLEVEL%

:enter
set "VIRTUAL_ENV=%VENV_DIR%"
set "PATH=%VENV_DIR%\Scripts;%PATH%"
set "PYTHONHOME="
set "PYTHON=%VENV_DIR%\Scripts\python.exe"

:start
if "%ACCELERATE%"=="True" (
    where accelerate >nul 2>nul
    if not errorlevel 1 goto :accelerate
    echo ACCELERATE is set, but accelerate is not installed: starting without it.
)
"%PYTHON%" -u "%LAUNCH_SCRIPT%" %*
goto :ended

:accelerate
accelerate launch --num_cpu_threads_per_process=6 "%LAUNCH_SCRIPT%" %*

:ended
set "EASEL_CODE=%ERRORLEVEL%"
if exist tmp\restart (
    set "SD_WEBUI_RESTARTING=1"
    del /q tmp\restart
    if not exist tmp\restart goto :start
)
if not "%EASEL_CODE%"=="0" pause
exit /b %EASEL_CODE%

:no_python
echo.
echo Easel cannot start: "%PYTHON%" does not run.
echo.
echo What to do:
echo   - Install Python 3.11, 64 bit, and tick "Add Python to PATH".
echo   - If there is one elsewhere: set PYTHON in webui-user.bat to the path of python.exe.
echo.
echo Exit code 10; docs/launcher.md explains it.
pause
exit /b 10

:no_checkout
echo.
echo Easel cannot start: there is no launch.py in "%~dp0".
echo.
echo What to do:
echo   - Take a complete copy of Easel and start the webui.bat in it.
echo.
echo Exit code 18; docs/launcher.md explains it.
pause
exit /b 18
